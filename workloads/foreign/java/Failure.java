final class Failure extends Exception {
    private static final long serialVersionUID = 1;
    final String kind;

    Failure(String kind, String message) {
        super(message);
        this.kind = kind;
    }

    static Failure badRequest(String message) {
        return new Failure("bad_request", message);
    }

    static Failure notSupported(String message) {
        return new Failure("not_supported", message);
    }

    static Failure limit(String message) {
        return new Failure("limit", message);
    }
}
