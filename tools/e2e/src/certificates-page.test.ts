import { walkPage } from './page.ts';

walkPage('docs/runbooks/certificates.md', 'certificates');
