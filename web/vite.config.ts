import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const dist = join(import.meta.dirname, 'dist');
const placeholder = 'placeholder.html'; // what a program built without these pages shows
const budget = 60 * 1024; // bytes of JavaScript, gzipped

async function* files(dir: string): AsyncGenerator<string> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    if ((await stat(path)).isDirectory()) yield* files(path);
    else if (name !== placeholder && !name.startsWith('.')) yield path;
  }
}

// The program embeds the files compressed and only so; the build fails when
// the pages grow out of their budget.
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    async buildStart() {
      for await (const path of files(dist)) await rm(path);
    },
    async closeBundle() {
      let script = 0;
      for await (const path of files(dist)) {
        const gz = gzipSync(await readFile(path), { level: 9 });
        if (path.endsWith('.js')) script += gz.length;
        await writeFile(path + '.gz', gz);
        await rm(path);
      }
      if (script > budget) throw new Error(`${script} bytes of JavaScript, gzipped; the budget is ${budget}`);
      console.info(`${script} bytes of JavaScript, gzipped, of ${budget}`);
    },
  };
}

export default defineConfig({
  plugins: [svelte(), compressed()],
  build: {
    outDir: dist,
    emptyOutDir: false,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { '/api': 'http://127.0.0.1:9600' } },
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: { environment: 'jsdom', include: ['src/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0]);
