export function fibonacci({ depth_count: depth }) {
  return (index) => fib(depth - (index % 4));
}

function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
