// Writing and reading a JSON document by the language itself.

import { lehmer } from './lehmer.mjs';

export function json({ records_count: records }) {
  return (index) => {
    const document = Array.from({ length: records }, (_, j) => ({
      id: j, name: `record ${j}`, tags: ['a', 'b', 'c'], value: lehmer(index * records + j, 1), on: j % 2 === 0,
    }));
    return JSON.parse(JSON.stringify(document)).reduce(
      (total, { id, name, tags, value, on }) => total + id + (value % 1000) + tags.length + name.length + Number(on), 0,
    );
  };
}
