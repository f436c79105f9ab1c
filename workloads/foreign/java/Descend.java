final class Descend {
    private Descend() {}

    interface Bottom {
        void reached() throws Exception;
    }

    /** Calls itself until `levels` frames are live; returns their number. Java has no arrays on the stack. */
    static long descend(long levels, Bottom bottom) throws Exception {
        if (levels > 1) return descend(levels - 1, bottom) + 1;
        bottom.reached();
        return 1;
    }
}
