import { edge as evenEdge } from './edge.mjs';

export function primes({ chunks_count: chunks, limit_count: limit, skewed }) {
  const edge = (index) => (skewed ? Math.floor((limit * index * index) / (chunks * chunks)) : evenEdge(limit, chunks, index));
  return (index) => {
    let count = 0;
    for (let n = edge(index), end = edge(index + 1); n < end; n++) if (isPrime(n)) count++;
    return count;
  };
}

export function isPrime(n) {
  if (n < 3 || n % 2 === 0) return n === 2;
  for (let divisor = 3; divisor * divisor <= n; divisor += 2) if (n % divisor === 0) return false;
  return true;
}
