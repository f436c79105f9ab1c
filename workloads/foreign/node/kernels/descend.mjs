// Using the stack: calls that each hold memory of their own.

/** Calls itself until `levels` frames are live and runs `bottom` in the deepest. */
export function descend(levels, bottom) {
  const frame = new Uint8Array(512).fill(levels);
  let below = 0;
  if (levels > 1) below = descend(levels - 1, bottom);
  else bottom();
  return below + 1 + (frame[511] ^ (levels & 255));
}

/** The same in asynchronous functions. */
export async function descendAsync(levels, bottom) {
  const frame = new Uint8Array(512).fill(levels);
  let below = 0;
  if (levels > 1) below = await descendAsync(levels - 1, bottom);
  else await bottom();
  return below + 1 + (frame[511] ^ (levels & 255));
}
