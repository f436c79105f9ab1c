// Memory that a task goes over on each hop.

export function array(size) {
  return Uint8Array.from({ length: size }, (_, j) => j % 251);
}

export function goOver(own) {
  let total = 0;
  for (let j = 0; j < own.length; j++) total += own[j];
  return total;
}
