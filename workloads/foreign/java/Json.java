import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON, which the JDK does not have: maps, lists, strings, longs, doubles, booleans and null. */
final class Json {
    static final class SyntaxError extends Exception {
        private static final long serialVersionUID = 1;

        SyntaxError(String message) {
            super(message);
        }
    }

    private static final int DEEPEST = 64;
    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(String text) throws SyntaxError {
        var parser = new Json(text);
        var value = parser.value();
        parser.space();
        if (parser.at < text.length()) throw parser.wrong("the end of the line");
        return value;
    }

    private Object value() throws SyntaxError {
        space();
        if (at == text.length()) throw wrong("a value");
        if (++depth > DEEPEST) throw wrong("less depth");
        var value = switch (text.charAt(at)) {
            case '{' -> object();
            case '[' -> array();
            case '"' -> string();
            case 't' -> word("true", true);
            case 'f' -> word("false", false);
            case 'n' -> word("null", null);
            default -> number();
        };
        depth--;
        return value;
    }

    private Map<String, Object> object() throws SyntaxError {
        var map = new LinkedHashMap<String, Object>();
        at++;
        if (taken('}')) return map;
        do {
            space();
            if (at == text.length() || text.charAt(at) != '"') throw wrong("a name");
            var name = string();
            if (!taken(':')) throw wrong("a colon");
            map.put(name, value());
        } while (taken(','));
        if (!taken('}')) throw wrong("a brace");
        return map;
    }

    private List<Object> array() throws SyntaxError {
        var list = new ArrayList<Object>();
        at++;
        if (taken(']')) return list;
        do {
            list.add(value());
        } while (taken(','));
        if (!taken(']')) throw wrong("a bracket");
        return list;
    }

    private String string() throws SyntaxError {
        var result = new StringBuilder();
        for (at++; at < text.length(); at++) {
            char next = text.charAt(at);
            if (next == '"') {
                at++;
                return result.toString();
            }
            result.append(next == '\\' ? escaped() : next);
        }
        throw wrong("a quotation mark");
    }

    private char escaped() throws SyntaxError {
        if (++at == text.length()) throw wrong("an escape");
        char kind = text.charAt(at);
        int plain = "\"\\/bfnrt".indexOf(kind);
        if (plain >= 0) return "\"\\/\b\f\n\r\t".charAt(plain);
        if (kind != 'u' || at + 4 >= text.length()) throw wrong("an escape");
        try {
            char result = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
            at += 4;
            return result;
        } catch (NumberFormatException error) {
            throw wrong("four hexadecimal digits");
        }
    }

    private Object word(String word, Object value) throws SyntaxError {
        if (!text.startsWith(word, at)) throw wrong("a value");
        at += word.length();
        return value;
    }

    private Object number() throws SyntaxError {
        int start = at;
        while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) at++;
        var digits = text.substring(start, at);
        try {
            if (isWhole(digits)) return Long.parseLong(digits);
            return Double.parseDouble(digits);
        } catch (NumberFormatException error) {
            at = start;
            throw wrong("a value");
        }
    }

    private static boolean isWhole(String digits) {
        int from = digits.startsWith("-") ? 1 : 0;
        for (int i = from; i < digits.length(); i++) if (digits.charAt(i) < '0' || digits.charAt(i) > '9') return false;
        return digits.length() > from;
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
    }

    private boolean taken(char expected) {
        space();
        boolean there = at < text.length() && text.charAt(at) == expected;
        if (there) at++;
        return there;
    }

    private SyntaxError wrong(String expected) {
        return new SyntaxError("expected " + expected + " at column " + (at + 1));
    }

    static String write(Object value) {
        var result = new StringBuilder();
        write(value, result);
        return result.toString();
    }

    private static void write(Object value, StringBuilder to) {
        if (value instanceof Map<?, ?> map) {
            var separator = "{";
            for (var entry : map.entrySet()) {
                quote(entry.getKey().toString(), to.append(separator));
                write(entry.getValue(), to.append(':'));
                separator = ",";
            }
            to.append(map.isEmpty() ? "{}" : "}");
        } else if (value instanceof List<?> list) {
            var separator = "[";
            for (var element : list) {
                write(element, to.append(separator));
                separator = ",";
            }
            to.append(list.isEmpty() ? "[]" : "]");
        } else if (value instanceof String string) {
            quote(string, to);
        } else {
            to.append(value);
        }
    }

    private static void quote(String string, StringBuilder to) {
        to.append('"');
        for (char next : string.toCharArray()) {
            if (next == '"' || next == '\\') to.append('\\').append(next);
            else if (next < ' ') to.append(String.format("\\u%04x", (int) next));
            else to.append(next);
        }
        to.append('"');
    }
}
