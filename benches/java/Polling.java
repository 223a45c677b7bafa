import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * A task queue as hosts keep it in a database: a row for each task, every server reads all rows every 50 ms, and
 * deletes those that are its own once they are done. What `benches/tasks` measures the task queue beside.
 *
 * Prints one JSON line: tasks that were done within the measured time, and how long each took from before it was
 * inserted until after it was deleted.
 */
public class Polling {
    static final int SERVERS = 3;
    /** Between the end of one look and the beginning of the next. */
    static final int POLL_MS = 50;
    /** Of each server; what such hosts have on two cores. */
    static final int THREADS = 10;

    static String url;
    static volatile boolean over;
    /** By id, from before the row is there. */
    static final Map<String, Long> begun = new ConcurrentHashMap<>();
    static final Map<String, Semaphore> windows = new ConcurrentHashMap<>();
    static final ConcurrentLinkedQueue<long[]> done = new ConcurrentLinkedQueue<>();

    static final ThreadLocal<Connection> connection = ThreadLocal.withInitial(() -> {
        try {
            return DriverManager.getConnection(url);
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
    });

    static void enqueue(int client, int inFlight, String padding) throws Exception {
        Semaphore window = new Semaphore(inFlight);
        try (PreparedStatement insert = connection.get().prepareStatement(
                "INSERT INTO t_distributed_task (action, engine_type, properties) VALUES (0, 0, ?)")) {
            for (long number = 0; !over; number++) {
                if (!window.tryAcquire(100, TimeUnit.MILLISECONDS)) {
                    continue;
                }
                String key = client + "-" + number;
                windows.put(key, window);
                begun.put(key, System.nanoTime());
                insert.setString(1, key + "|" + padding);
                insert.executeUpdate();
            }
        }
    }

    static void serve(int server) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        Set<Long> running = ConcurrentHashMap.newKeySet();
        try (PreparedStatement all = connection.get().prepareStatement(
                "SELECT id, action, engine_type, properties FROM t_distributed_task")) {
            while (!over || !begun.isEmpty()) {
                try (ResultSet rows = all.executeQuery()) {
                    while (rows.next()) {
                        long id = rows.getLong(1);
                        String properties = rows.getString(4);
                        // The ring's look-up is left out: it costs the database nothing.
                        if (id % SERVERS == server && running.add(id)) {
                            pool.execute(() -> finish(id, properties, running));
                        }
                    }
                }
                Thread.sleep(POLL_MS);
            }
        }
        pool.shutdown();
    }

    static void finish(long id, String properties, Set<Long> running) {
        try (PreparedStatement delete = connection.get().prepareStatement(
                "DELETE FROM t_distributed_task WHERE id = ?")) {
            delete.setLong(1, id);
            delete.executeUpdate();
            running.remove(id);
            String key = properties.substring(0, properties.indexOf('|'));
            long now = System.nanoTime();
            done.add(new long[] {now, now - begun.remove(key)});
            windows.remove(key).release();
        } catch (SQLException error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    interface Work {
        void run() throws Exception;
    }

    static Thread start(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception error) {
                error.printStackTrace();
                System.exit(1);
            }
        });
        thread.start();
        return thread;
    }

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        int clients = Integer.parseInt(arguments[1]);
        int inFlight = Integer.parseInt(arguments[2]);
        int seconds = Integer.parseInt(arguments[3]);
        int bytes = Integer.parseInt(arguments[4]);
        try (Statement statement = connection.get().createStatement()) {
            statement.execute("DROP TABLE IF EXISTS t_distributed_task");
            statement.execute("CREATE TABLE t_distributed_task (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
                    + " action TINYINT NOT NULL, engine_type TINYINT NOT NULL, properties TEXT)"
                    + " ENGINE=InnoDB AUTO_INCREMENT=100000");
        }
        String padding = "x".repeat(bytes);
        List<Thread> threads = new ArrayList<>();
        for (int server = 0; server < SERVERS; server++) {
            int number = server;
            threads.add(start(() -> serve(number)));
        }
        for (int client = 0; client < clients; client++) {
            int number = client;
            threads.add(start(() -> enqueue(number, inFlight, padding)));
        }
        // The compiler and the pools of connections warm up.
        Thread.sleep(3_000);
        long from = System.nanoTime();
        System.err.println("measuring");
        Thread.sleep(seconds * 1_000L);
        long to = System.nanoTime();
        System.err.println("measured");
        over = true;
        for (Thread thread : threads) {
            thread.join();
        }
        List<Long> took = new ArrayList<>();
        for (long[] each : done) {
            if (each[0] >= from && each[0] < to) {
                took.add(each[1]);
            }
        }
        Collections.sort(took);
        System.out.printf("{\"tasks\":%d,\"seconds\":%.3f,\"p50_ms\":%.2f,\"p99_ms\":%.2f}%n", took.size(),
                (to - from) / 1e9, at(took, 0.50), at(took, 0.99));
        System.exit(0);
    }

    static double at(List<Long> sorted, double part) {
        return sorted.get((int) (part * (sorted.size() - 1))) / 1e6;
    }
}
