/** The function tables under the name by which launches on a chip ask for them. */
export { lookupTables as functionTables } from '../tables/index.ts';
