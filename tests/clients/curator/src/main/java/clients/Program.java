package clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.utils.ZookeeperFactory;
import org.apache.zookeeper.ZooKeeper;

/**
 * What every program shares: how it connects, what it reports, and how it is told to finish.
 *
 * <p>It speaks as the Python programs do (see {@code python/common.py}): one JSON object a line on
 * standard output, and the line {@code finish} on standard input ends the load.
 */
final class Program {
    /** Long enough that no session may expire while a leader is replaced, on a busy machine too. */
    static final int SESSION_TIMEOUT_MS = 20_000;

    private static final int CONNECTION_TIMEOUT_MS = 15_000;
    private static final int RETRY_MS = 50;
    /** A program that hangs ends by itself, and says so. */
    private static final long LIFETIME_MS = 240_000;

    private static final int EXIT_VIOLATION = 1;
    private static final int EXIT_HANGS = 3;

    /** Work of one client; anything that it throws breaks a promise. */
    interface Worker {
        void work() throws Exception;
    }

    final String root;
    final List<String> hosts;
    final AtomicLong suspensions = new AtomicLong();
    private final CountDownLatch finish = new CountDownLatch(1);
    private final AtomicLong count = new AtomicLong();
    private final List<CuratorFramework> clients = new CopyOnWriteArrayList<>();

    Program(String[] arguments) {
        hosts = Arrays.asList(arguments[0].split(","));
        root = arguments[1];
        background("commands", this::readCommands);
        background("report", this::report);
        background("watchdog", this::watch);
    }

    // What it says.

    private static synchronized void say(String event, Map<String, ?> fields) {
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

    static void violation(String what) {
        say("violation", Map.of("what", what));
        Runtime.getRuntime().halt(EXIT_VIOLATION);
    }

    static void require(boolean holds, String what) {
        if (!holds) {
            violation(what);
        }
    }

    void acknowledged() {
        count.incrementAndGet();
    }

    /** Everything held. Closes the clients and ends. */
    void verdict(Map<String, ?> counted) {
        Map<String, Object> fields = new java.util.TreeMap<>(counted);
        fields.put("suspensions", suspensions.get());
        say("verdict", fields);
        clients.forEach(CuratorFramework::close);
        System.exit(0);
    }

    // What it is told.

    boolean finishing() {
        return finish.getCount() == 0;
    }

    /** Waits, but not for longer than until it is told to finish. */
    void pause(long ms) throws InterruptedException {
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

    // How it connects.

    /** A client whose first choice is the given member; clients spread in this way. */
    CuratorFramework client(int member, boolean mayExpire) {
        List<String> order = new ArrayList<>(hosts);
        Collections.rotate(order, -(member % hosts.size()));
        ZookeeperFactory factory = (connectString, timeoutMs, watcher, canBeReadOnly) -> new ZooKeeper(
                connectString, timeoutMs, watcher, canBeReadOnly, new InOrder(order));
        return start(settings(String.join(",", order)).zookeeperFactory(factory), mayExpire);
    }

    CuratorFramework client(int member) {
        return client(member, false);
    }

    /** A client that was told of one member only. */
    CuratorFramework clientOf(String host) {
        return start(settings(host), false);
    }

    private static CuratorFrameworkFactory.Builder settings(String connectString) {
        return CuratorFrameworkFactory.builder()
                .connectString(connectString)
                .sessionTimeoutMs(SESSION_TIMEOUT_MS)
                .connectionTimeoutMs(CONNECTION_TIMEOUT_MS)
                .retryPolicy(new RetryForever(RETRY_MS));
    }

    private CuratorFramework start(CuratorFrameworkFactory.Builder settings, boolean mayExpire) {
        CuratorFramework client = settings.build();
        client.getConnectionStateListenable().addListener((same, state) -> {
            if (state == ConnectionState.SUSPENDED) {
                suspensions.incrementAndGet();
            }
            if (state == ConnectionState.LOST && !mayExpire) {
                violation("a session was lost that was in touch with the ensemble");
            }
        });
        client.start();
        clients.add(client);
        return client;
    }

    // How it runs.

    /** Runs the workers side by side until all have returned; {@code ready} is said before. */
    void run(List<Worker> workers) throws InterruptedException {
        say("ready", Map.of());
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
    static void eventually(String what, java.util.concurrent.Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!condition.call()) {
            require(System.nanoTime() < deadline, "not within 60 s: " + what);
            Thread.sleep(20);
        }
    }

    /** Text of a znode. */
    static byte[] bytes(Object value) {
        return String.valueOf(value).getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
    }
}
