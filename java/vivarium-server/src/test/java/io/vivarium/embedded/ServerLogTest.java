package io.vivarium.embedded;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class ServerLogTest {
    private static ServerLog read(String text) {
        ServerLog log = new ServerLog(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
        log.run();
        return log;
    }

    @Test
    void theEndIsKeptAndItsLinesAreOfBoundedLength() {
        StringBuilder text = new StringBuilder();
        for (int at = 0; at < 2 * ServerLog.LINES_KEPT; at++) {
            text.append("line ").append(at).append('\n');
        }
        String[] kept = read(text.toString()).end().split(System.lineSeparator());
        assertEquals(ServerLog.LINES_KEPT, kept.length);
        assertEquals("line " + ServerLog.LINES_KEPT, kept[0]);
        assertEquals("line " + (2 * ServerLog.LINES_KEPT - 1), kept[kept.length - 1]);
        assertEquals(ServerLog.CHARACTERS_KEPT + 1, read("x".repeat(5_000)).end().length());
        assertEquals("(nothing)", read("").end());
    }

    /** What has no level, as the last words of a program that ends, is a warning. */
    @Test
    void linesGoToTheLogOfTheHostAtTheirOwnLevel() {
        PrintStream original = System.err;
        ByteArrayOutputStream captured = new ByteArrayOutputStream();
        System.setErr(new PrintStream(captured, true));
        try {
            String end = read("2026-01-01T00:00:00Z ERROR vivarium: bad\n2026-01-01T00:00:00Z  INFO vivarium: good\n"
                + "2026-01-01T00:00:00Z DEBUG vivarium: much\nlast words\n"
                + "2026-01-01T00:00:00Z  INFO vivarium::cli::serving: configuration setting=\"a = b\"\n").end();
            assertTrue(end.endsWith("last words"), end);
        } finally {
            System.setErr(original);
        }
        String log = captured.toString();
        assertTrue(log.contains("ERROR io.vivarium.server - vivarium: bad"), log);
        assertTrue(log.contains("INFO io.vivarium.server - vivarium: good"), log);
        assertTrue(log.contains("WARN io.vivarium.server - last words"), log);
        assertTrue(!log.contains("much") && !log.contains("setting="), log);
    }
}
