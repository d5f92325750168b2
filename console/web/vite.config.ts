import { defineConfig } from 'vitest/config'

// One build for one day and machine: no dates, no paths, names by content.
export default defineConfig({
  base: '/console/',
  logLevel: 'warn',
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    cssTarget: ['chrome125', 'firefox128', 'safari18'], // as they are: light-dark(), nesting
    assetsInlineLimit: 0, // data: is no source of the page's policy
    license: { fileName: 'licenses.md' }, // of what is built in
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600, // the editor, which is loaded when it is needed
  },
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'] } },
      {
        test: {
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          testTimeout: 120_000,
          expect: { poll: { timeout: 20_000 } },
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
