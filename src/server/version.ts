/** Version of Millrace, as in package.json. */
export const VERSION = "0.1.0";
