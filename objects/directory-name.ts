/** The name of the one directory. Apart, because the edge needs it without the object's code. */
export const DIRECTORY_NAME = "directory";
