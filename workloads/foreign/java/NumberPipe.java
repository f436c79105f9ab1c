import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Pipe;
import java.util.ArrayList;
import java.util.List;

/** A kernel pipe that carries numbers of 8 bytes; one task reads it and one writes it. */
final class NumberPipe implements AutoCloseable {
    private final Pipe pipe = Pipe.open();
    private final ByteBuffer in = buffer();
    private final ByteBuffer out = buffer();

    private NumberPipe() throws IOException {}

    private static ByteBuffer buffer() {
        return ByteBuffer.allocateDirect(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Several pipes, which are closed together. */
    static final class Row implements AutoCloseable {
        final List<NumberPipe> pipes = new ArrayList<>();

        Row(long count) throws Failure {
            try {
                for (long i = 0; i < count; i++) pipes.add(new NumberPipe());
            } catch (IOException error) {
                close();
                throw Failure.limit("pipe " + (pipes.size() + 1) + " of " + count + ": " + error.getMessage() + "; look at ulimit -n");
            }
        }

        NumberPipe get(long index) {
            return pipes.get((int) index);
        }

        @Override
        public void close() {
            pipes.forEach(NumberPipe::close);
        }
    }

    long read() throws IOException {
        in.clear();
        while (in.hasRemaining()) {
            if (pipe.source().read(in) < 0) throw new EOFException("the other end of the pipe is closed");
        }
        return in.getLong(0);
    }

    void write(long number) throws IOException {
        out.clear();
        out.putLong(0, number);
        while (out.hasRemaining()) pipe.sink().write(out);
    }

    /** Reads a number and writes it + 1 to another pipe, repeatedly. */
    long passOn(NumberPipe to, long times) throws IOException {
        for (long i = 0; i < times; i++) to.write(read() + 1);
        return 0;
    }

    @Override
    public void close() {
        try {
            pipe.source().close();
            pipe.sink().close();
        } catch (IOException error) {
            // An error of closing does not matter.
        }
    }
}
