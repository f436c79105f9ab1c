// Files to read, in a temporary folder that is deleted with them.

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BLOCK_BYTES = 64 << 10;
const PERIOD = 251;

/** Writes files and syncs them to the disk, runs `body` on their paths and removes them. */
export async function withFiles(count, size, body) {
  const folder = await mkdtemp(join(tmpdir(), 'threadbare-'));
  try {
    const paths = Array.from({ length: count }, (_, index) => join(folder, String(index)));
    for (const [index, path] of paths.entries()) await write(path, index, size);
    return await body(paths);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function write(path, index, size) {
  const file = await open(path, 'w');
  try {
    for (let offset = 0; offset < size; offset += BLOCK_BYTES) {
      const block = Uint8Array.from({ length: Math.min(size - offset, BLOCK_BYTES) }, (_, j) => (index + offset + j) % PERIOD);
      await file.write(block);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function addUp(path, bytes) {
  const file = await open(path);
  try {
    const block = new Uint8Array(bytes);
    let total = 0;
    for (let size; (({ bytesRead: size } = await file.read(block)), size > 0);) {
      for (let j = 0; j < size; j++) total += block[j];
    }
    return total;
  } finally {
    await file.close();
  }
}
