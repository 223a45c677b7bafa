package io.vivarium.client;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** A Java process that a test started, and what it says. */
final class Child implements AutoCloseable {
    private final Process process;
    private final List<String> lines = new CopyOnWriteArrayList<>();

    private Child(Process process) {
        this.process = process;
        Thread reading = new Thread(
                () -> {
                    try (BufferedReader said = new BufferedReader(
                            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                        for (String line = said.readLine(); line != null; line = said.readLine()) {
                            lines.add(line);
                        }
                    } catch (IOException ended) {
                        // It was killed.
                    }
                },
                "child");
        reading.setDaemon(true);
        reading.start();
    }

    static Child start(String classPath, String main, String... arguments) throws IOException {
        List<String> command = new java.util.ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m", "-cp", classPath, main));
        command.addAll(List.of(arguments));
        return new Child(new ProcessBuilder(command).redirectErrorStream(true).start());
    }

    List<String> lines() {
        return lines;
    }

    void await(String beginning) {
        try {
            Members.eventually(beginning, () -> lines.stream().anyMatch(line -> line.startsWith(beginning)));
        } catch (AssertionError late) {
            throw new AssertionError("said " + lines, late);
        }
    }

    int exitCode() throws InterruptedException {
        return process.waitFor();
    }

    void signal(String name) {
        Members.send(name, process.pid());
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
