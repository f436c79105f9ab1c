/** Calls that nest. */
final class Descend {
    private Descend() {}

    /** What is done in the deepest call. */
    interface Bottom {
        void reached() throws Exception;
    }

    /** Calls itself until so many frames are live; how many there were. A frame is what Java makes of it: it has no arrays on the stack. */
    static long descend(long levels, Bottom bottom) throws Exception {
        if (levels > 1) return descend(levels - 1, bottom) + 1;
        bottom.reached();
        return 1;
    }
}
