package io.vivarium.testkit;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A Java process that a test started, and what it says. */
public final class Child implements AutoCloseable {
    private final Process process;
    private final Recorder<String> said = new Recorder<>(line -> line);
    private final Thread reading;

    private Child(Process process) {
        this.process = process;
        reading = new Thread(this::read, "test-child-" + process.pid());
        reading.setDaemon(true);
        reading.start();
    }

    private void read() {
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line; (line = lines.readLine()) != null;) {
                System.out.println(process.pid() + ": " + line);
                said.tell(line);
            }
        } catch (IOException ended) {
            // It was killed.
        }
    }

    /** With the class path of the test, in the directory of the test. */
    public static Child start(Class<?> main, String... arguments) {
        return start(new File("."), System.getProperty("java.class.path"), main.getName(), arguments);
    }

    /** {@code directory}: where it works. */
    public static Child start(File directory, String classPath, String main, String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m", "-cp", classPath, main));
        command.addAll(List.of(arguments));
        try {
            return new Child(new ProcessBuilder(command).directory(directory).redirectErrorStream(true).start());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** What it said so far, line by line. */
    public Recorder<String> said() {
        return said;
    }

    public List<String> lines() {
        return said.all();
    }

    /** Waits for a line that begins so. */
    public void await(String beginning) {
        Waiting.until(beginning, said::all, () -> hasSaid(beginning) || !reading.isAlive());
        if (!hasSaid(beginning)) {
            throw new AssertionError("it ended without: " + beginning + "; it said " + lines());
        }
    }

    private boolean hasSaid(String beginning) {
        return lines().stream().anyMatch(line -> line.startsWith(beginning));
    }

    /** Waits until it has ended. */
    public int exitCode() {
        return exitCode(process);
    }

    /** As {@link #exitCode()}, of any process; no test waits for ever for one. */
    public static int exitCode(Process process) {
        try {
            if (!process.waitFor(Waiting.PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new AssertionError("not in time: the end of process " + process.pid());
            }
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        }
        return process.exitValue();
    }

    public ProcessHandle handle() {
        return process.toHandle();
    }

    /** SIGSTOP and SIGCONT, say. */
    public void signal(String name) {
        send(name, process.pid());
    }

    /** A signal to a process. */
    public static void send(String signal, long pid) {
        try {
            int code = exitCode(new ProcessBuilder("kill", "-" + signal, "" + pid).inheritIO().start());
            if (code != 0) {
                throw new AssertionError("kill -" + signal + " " + pid + " ended with " + code);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** SIGKILL. */
    @Override
    public void close() {
        process.destroyForcibly();
    }
}
