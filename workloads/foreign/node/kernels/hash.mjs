export function hash({ block_bytes: size, rounds_count: rounds }) {
  return (index) => {
    const block = Uint8Array.from({ length: size }, (_, j) => (j * 31 + index * 17) % 256);
    let state = 2_166_136_261;
    for (let round = 0; round < rounds; round++) {
      for (const byte of block) state = Math.imul(state ^ byte, 16_777_619);
    }
    return state >>> 0;
  };
}
