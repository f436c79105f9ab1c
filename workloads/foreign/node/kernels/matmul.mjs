import { edge } from './edge.mjs';

export function matmul({ chunks_count: chunks, size_count: n }) {
  const left = Float64Array.from({ length: n * n }, (_, at) => at % 7);
  const right = Float64Array.from({ length: n * n }, (_, at) => (Math.floor(at / n) + (at % n) * 3) % 5);
  return (index) => {
    const row = new Float64Array(n);
    let total = 0;
    for (let r = edge(n, chunks, index), end = edge(n, chunks, index + 1); r < end; r++) {
      row.fill(0);
      for (let k = 0; k < n; k++) {
        const factor = left[r * n + k];
        for (let c = 0; c < n; c++) row[c] += factor * right[k * n + c];
      }
      for (const element of row) total += element;
    }
    return total;
  };
}
