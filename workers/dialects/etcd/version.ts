/** The release of etcd that clients are told: three plain numbers, by which they choose what they ask for. */
export const VERSION = "3.6.0";
export const STORAGE_VERSION = "3.6.0";
