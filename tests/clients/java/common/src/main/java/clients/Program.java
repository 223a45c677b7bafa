package clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What every program shares: what it reports, and how it is told to finish.
 *
 * <p>It speaks as the Python programs do (see {@code python/common.py}): one JSON object a line on
 * standard output, and the line {@code finish} on standard input ends the load.
 */
public class Program {
    /** Long enough that no session may expire while a leader is replaced, on a busy machine too. */
    public static final int SESSION_TIMEOUT_MS = 20_000;

    /** A program that hangs ends by itself, and says so. */
    private static final long LIFETIME_MS = 240_000;

    private static final int EXIT_VIOLATION = 1;
    private static final int EXIT_HANGS = 3;

    /** Work of one client; anything that it throws breaks a promise. */
    public interface Worker {
        void work() throws Exception;
    }

    public final String root;
    public final List<String> hosts;
    private final CountDownLatch finish = new CountDownLatch(1);
    private final AtomicLong count = new AtomicLong();

    public Program(String[] arguments) {
        hosts = Arrays.asList(arguments[0].split(","));
        root = arguments[1];
        background("commands", this::readCommands);
        background("report", this::report);
        background("watchdog", this::watch);
    }

    // What it says.

    public static synchronized void say(String event, Map<String, ?> fields) {
        StringBuilder line = new StringBuilder("{\"event\": \"" + event + '"');
        fields.forEach((name, value) -> line.append(", \"").append(name).append("\": ").append(json(value)));
        System.out.println(line.append('}'));
        System.out.flush();
    }

    private static String json(Object value) {
        if (value instanceof Number) {
            return value.toString();
        }
        StringBuilder text = new StringBuilder("\"");
        for (char c : String.valueOf(value).toCharArray()) {
            if (c == '"' || c == '\\') {
                text.append('\\').append(c);
            } else if (c < ' ') {
                text.append(' ');
            } else {
                text.append(c);
            }
        }
        return text.append('"').toString();
    }

    public static void violation(String what) {
        say("violation", Map.of("what", what));
        Runtime.getRuntime().halt(EXIT_VIOLATION);
    }

    public static void require(boolean holds, String what) {
        if (!holds) {
            violation(what);
        }
    }

    public void acknowledged() {
        count.incrementAndGet();
    }

    /** Everything held. Closes the clients and ends. */
    public void verdict(Map<String, ?> counted) {
        say("verdict", counted);
        close();
        System.exit(0);
    }

    protected void close() {}

    /** Everything held that was checked one by one. */
    public void verdict() {
        require(count.get() > 0, "no check has the name " + System.getenv("VIVARIUM_ONLY"));
        verdict(Map.of("proved", count.get()));
    }

    /**
     * One check that stands for itself, with a line that says what it showed. If the environment
     * names checks, the others are left out.
     */
    public void prove(String name, String promise, Worker check) {
        String only = System.getenv("VIVARIUM_ONLY");
        if (only != null && !Arrays.asList(only.split(",")).contains(name)) {
            return;
        }
        say("begins", Map.of("name", name));
        long started = System.nanoTime();
        try {
            check.work();
        } catch (Throwable failure) {
            failure.printStackTrace();
            violation(name + " failed: " + failure);
        }
        long ms = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
        say("proved", Map.of("name", name, "promise", promise, "ms", ms));
        acknowledged();
    }

    /** The call must end in the given way. */
    public static void refused(Class<? extends Exception> expected, String what, Worker call) {
        try {
            call.work();
        } catch (Exception refusal) {
            require(expected.isInstance(refusal), what + ": expected " + expected.getSimpleName() + ", not " + refusal);
            return;
        }
        violation(what + ": expected " + expected.getSimpleName() + ", but it was done");
    }

    // What it is told.

    public boolean finishing() {
        return finish.getCount() == 0;
    }

    /** Waits, but not for longer than until it is told to finish. */
    public void pause(long ms) throws InterruptedException {
        finish.await(ms, TimeUnit.MILLISECONDS);
    }

    private void readCommands() throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            if (line.trim().equals("finish")) {
                finish.countDown();
            }
        }
        // The test is gone: nobody will say it any more.
        finish.countDown();
    }

    private void report() throws InterruptedException {
        long told = 0;
        while (true) {
            Thread.sleep(50);
            long now = count.get();
            if (now != told) {
                told = now;
                say("progress", Map.of("count", now));
            }
        }
    }

    private void watch() throws InterruptedException {
        Thread.sleep(LIFETIME_MS);
        Thread.getAllStackTraces().forEach((thread, frames) -> {
            System.err.println(thread);
            Arrays.stream(frames).forEach(frame -> System.err.println("    " + frame));
        });
        say("violation", Map.of("what", "still running after " + LIFETIME_MS + " ms"));
        Runtime.getRuntime().halt(EXIT_HANGS);
    }

    // How it runs.

    public void ready() {
        say("ready", Map.of());
    }

    /** Runs the workers side by side until all have returned; {@code ready} is said before. */
    public void run(List<Worker> workers) throws InterruptedException {
        ready();
        sideBySide(workers);
    }

    /** Runs the workers side by side until all have returned. */
    public static void sideBySide(List<Worker> workers) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (Worker worker : workers) {
            threads.add(start("worker", worker));
        }
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private static void background(String name, Worker worker) {
        start(name, worker);
    }

    private static Thread start(String name, Worker worker) {
        Thread thread = new Thread(() -> {
            try {
                worker.work();
            } catch (Throwable failure) {
                failure.printStackTrace();
                violation(name + " failed: " + failure);
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    /** Looks until the condition holds. */
    public static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!condition.call()) {
            require(System.nanoTime() < deadline, "not within 60 s: " + what);
            Thread.sleep(20);
        }
    }

    /** Text of a znode. */
    public static byte[] bytes(Object value) {
        return String.valueOf(value).getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    public static String text(byte[] bytes) {
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
    }
}
