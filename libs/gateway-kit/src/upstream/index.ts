export {
  faultOf,
  fieldsOf,
  parseJson,
  type ReportKind,
  type ReportRoute,
  readReportPath,
  topicOf,
} from './reports.ts';
export { readUpstream, type UpstreamFlags, type UpstreamSettings, upstreamOptions } from './settings.ts';
export { openUpstream, type Upstream } from './upstream.ts';
