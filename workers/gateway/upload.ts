/**
 * A request's body on its way to the instance: the same stream, with word of its end.
 *
 * The runtime moves the bytes itself; none pass through JavaScript and none are kept, so a body goes out once.
 */

export interface Upload {
  readonly body: ReadableStream;
  isDone: boolean;
}

/** `onDone` is called once the last byte was taken by the instance's connection, and never when the body broke off. */
export function startUpload(body: ReadableStream, headers: Headers, onDone: () => void): Upload {
  const pipe = pipeFor(headers);
  const upload: Upload = { body: pipe.readable, isDone: false };
  body.pipeTo(pipe.writable).then(
    () => {
      upload.isDone = true;
      onDone();
    },
    // The fetch that reads the other end fails with it.
    () => {},
  );
  return upload;
}

/** A fixed length goes out as Content-Length, anything else chunked. A length beside a transfer coding means nothing. */
function pipeFor(headers: Headers): TransformStream {
  const length = headers.get("content-length");
  if (length === null || headers.has("transfer-encoding") || !/^\d{1,15}$/.test(length))
    return new IdentityTransformStream();
  return new FixedLengthStream(Number(length));
}
