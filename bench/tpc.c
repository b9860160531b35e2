/* The reference of bench/tpc.ts: what the kernels compute, as a C compiler has it. Prints seconds of processor time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

__attribute__((noinline)) static void add(float *restrict z, const float *restrict x, const float *restrict y, long n) {
  for (long i = 0; i < n; i++) z[i] = x[i] + y[i];
}

__attribute__((noinline)) static void relu(float *restrict y, const float *restrict x, long n) {
  for (long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}

/* Rounds of n multiply-accumulates, each into its own accumulator. */
__attribute__((noinline)) static void mac(float *restrict acc, const float *restrict a, const float *restrict b, long n,
                                          long rounds) {
  for (long r = 0; r < rounds; r++)
    for (long i = 0; i < n; i++) acc[i] += a[i] * b[i];
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  long n = atol(argv[2]), rounds = atol(argv[3]), repeat = atol(argv[4]);
  float *x = aligned_alloc(64, n * 4), *y = aligned_alloc(64, n * 4), *z = aligned_alloc(64, n * 4);
  if (!x || !y || !z) return 1;
  for (long i = 0; i < n; i++) x[i] = (i % 7) - 3, y[i] = 0.5f, z[i] = 0;
  double best = 1e9;
  for (long r = 0; r < repeat; r++) {
    double start = now();
    if (!strcmp(argv[1], "add")) add(z, x, y, n);
    else if (!strcmp(argv[1], "relu")) relu(z, x, n);
    else mac(z, x, y, n, rounds);
    double took = now() - start;
    if (took < best) best = took;
  }
  printf("%.9f %g\n", best, (double)z[n / 2]);
  return 0;
}
