final class Lehmer {
    private static final long MODULUS = 2_147_483_647;

    private Lehmer() {}

    static long next(long x) {
        return x * 48_271 % MODULUS;
    }

    static long after(long seed, long steps) {
        long x = seed % (MODULUS - 1) + 1;
        for (long i = 0; i < steps; i++) x = next(x);
        return x;
    }
}
