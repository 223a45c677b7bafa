package io.vivarium.embedded;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a server says, passed on line by line to the logger {@code io.vivarium.server} at the level
 * that it said it at. The end of it is kept for the message of a start that failed.
 */
final class ServerLog implements Runnable {
    static final int LINES_KEPT = 30;
    static final int CHARACTERS_KEPT = 1_000;

    private static final Logger LOGGER = LoggerFactory.getLogger("io.vivarium.server");
    private static final Pattern LINE = Pattern.compile("\\S+\\s+(TRACE|DEBUG|INFO|WARN|ERROR)\\s+(.*)");

    private final InputStream source;
    private final Deque<String> last = new ArrayDeque<>();

    ServerLog(InputStream source) {
        this.source = source;
    }

    @Override
    public void run() {
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(source, StandardCharsets.UTF_8))) {
            for (String line; (line = reader.readLine()) != null;) {
                pass(line);
            }
        } catch (IOException ended) {
            LOGGER.debug("the log of the embedded registry has ended", ended);
        }
    }

    private void pass(String line) {
        Matcher matcher = LINE.matcher(line);
        String level = matcher.matches() ? matcher.group(1) : "WARN";
        String message = matcher.matches() ? matcher.group(2) : line;
        // Dozens of lines at each start; `VIVARIUM_LOG=info` still has them on the host's debug level.
        boolean setting = message.startsWith("vivarium::cli::serving: configuration setting=");
        if (!setting) {
            keep(line);
        }
        switch (setting ? "DEBUG" : level) {
            case "ERROR":
                LOGGER.error("{}", message);
                break;
            case "WARN":
                LOGGER.warn("{}", message);
                break;
            case "INFO":
                LOGGER.info("{}", message);
                break;
            case "DEBUG":
                LOGGER.debug("{}", message);
                break;
            default:
                LOGGER.trace("{}", message);
        }
    }

    private void keep(String line) {
        synchronized (last) {
            if (last.size() == LINES_KEPT) {
                last.removeFirst();
            }
            last.addLast(line.length() > CHARACTERS_KEPT ? line.substring(0, CHARACTERS_KEPT) + "…" : line);
        }
    }

    /** The last lines, each on one of its own. */
    String end() {
        synchronized (last) {
            return last.isEmpty() ? "(nothing)" : String.join(System.lineSeparator(), last);
        }
    }
}
