import java.util.function.LongUnaryOperator;

/** Hashes a separate block for each chunk: FNV-1a of 32 bits. */
final class Hash {
    private Hash() {}

    static LongUnaryOperator prepare(Order order) {
        int size = (int) order.get("block_bytes");
        long rounds = order.get("rounds_count");
        return index -> {
            var block = new byte[size];
            for (int j = 0; j < size; j++) block[j] = (byte) (j * 31L + index * 17);
            int state = (int) 2_166_136_261L;
            for (long round = 0; round < rounds; round++) {
                for (byte one : block) state = (state ^ (one & 0xff)) * 16_777_619;
            }
            return Integer.toUnsignedLong(state);
        };
    }
}
