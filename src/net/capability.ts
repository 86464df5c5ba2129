/** Whether something can be done on this runtime, and if not, what would enable it. */
export type Capability = { readonly isSupported: true } | { readonly isSupported: false; readonly reason: string };
