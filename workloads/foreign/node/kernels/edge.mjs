/** The start of part `index` when `whole` is cut into `parts`. */
export function edge(whole, parts, index) {
  return Math.floor((whole * index) / parts);
}
