export { extension, TestClient } from './test-client.ts';
