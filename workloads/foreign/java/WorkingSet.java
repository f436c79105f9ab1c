final class WorkingSet {
    private static final int PATTERN = 251;

    private WorkingSet() {}

    static byte[] array(long size) {
        var array = new byte[(int) size];
        for (int j = 0; j < size; j++) array[j] = (byte) (j % PATTERN);
        return array;
    }

    static long goOver(byte[] array) {
        return goOver(array, array.length);
    }

    static long goOver(byte[] array, int length) {
        long sum = 0;
        for (int j = 0; j < length; j++) sum += array[j] & 0xff;
        return sum;
    }
}
