// A small generator that every language can compute exactly.

const MODULUS = 2_147_483_647;

export function next(x) {
  return (x * 48_271) % MODULUS;
}

export function lehmer(seed, steps) {
  let x = (seed % (MODULUS - 1)) + 1;
  for (let step = 0; step < steps; step++) x = next(x);
  return x;
}
