import { walkPage } from './page.ts';

walkPage('README.md', 'try-it');
