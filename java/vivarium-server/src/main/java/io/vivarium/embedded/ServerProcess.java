package io.vivarium.embedded;

import io.vivarium.embedded.EmbeddedRegistryException.Reason;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** One run of the program, from its start to its end. */
final class ServerProcess {
    static final int EXIT_CONFIGURATION = 3;
    static final int EXIT_NOT_OURS = 4;
    static final int EXIT_STORAGE = 5;
    static final int EXIT_DOOR = 6;

    /** Connections of the ZooKeeper protocol; those of the native API have the server's own limit. */
    static final int CONNECTIONS_MAX = 4_096;

    private static final int LOOK_AGAIN_MS = 20;
    private static final int ANSWER_MS_MAX = 2_000;
    private static final int ANSWER_BYTES_MAX = 64 * 1024;
    private static final AtomicInteger COUNT = new AtomicInteger();

    private final Process process;
    private final ServerLog log;
    private final Thread reader;
    private final Ports ports;
    private final Path data;

    private ServerProcess(Process process, Ports ports, Path data) {
        this.process = process;
        this.ports = ports;
        this.data = data;
        this.log = new ServerLog(process.getInputStream());
        this.reader = new Thread(log, "vivarium-embedded-log-" + COUNT.incrementAndGet());
        reader.setDaemon(true);
        reader.start();
    }

    static ServerProcess start(Path binary, Path directory, Ports ports, Map<String, String> settings) {
        Path data = directory.resolve("data");
        List<String> command = new ArrayList<>();
        command.add(binary.toString());
        command.add("server");
        command.add("--standalone");
        command.add("--stop-with-stdin");
        command.add("--data-dir=" + data);
        command.add("--client=" + Ports.HOST + ":" + ports.client);
        command.add("--grpc=" + Ports.HOST + ":" + ports.nativeApi);
        command.add("--admin=" + Ports.HOST + ":" + ports.admin);
        command.add("--peer=" + Ports.HOST + ":" + ports.peer);
        // Curator would remember this port instead of the one that it was given, and it may be another at the next start.
        command.add("--set=doors.client.advertise=");
        // All its clients have one address.
        command.add("--set=limits.connections_per_address_max=0");
        command.add("--set=limits.native_connections_per_address_max=0");
        command.add("--set=limits.connections_max=" + CONNECTIONS_MAX);
        settings.forEach((key, value) -> command.add("--set=" + key + "=" + value));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).directory(directory.toFile());
        // Settings of another server that happen to be in the host's environment are none of this one's.
        builder.environment().keySet().removeIf(name -> name.startsWith("VIVARIUM_") && !name.equals("VIVARIUM_LOG"));
        builder.environment().put("NO_COLOR", "1");
        try {
            return new ServerProcess(builder.start(), ports, data);
        } catch (IOException failed) {
            // The JDK tells the errno in its message only.
            String message = String.valueOf(failed.getMessage());
            if (message.contains("error=13")) {
                throw Binary.notExecutable(binary, failed);
            }
            if (message.contains("error=2,")) {
                throw new EmbeddedRegistryException(Reason.WRONG_PLATFORM, binary + " needs what is not on this machine, most "
                    + "likely glibc: name a program that was built for this system in " + Binary.VARIABLE, failed);
            }
            throw new EmbeddedRegistryException(Reason.ENDED_AT_START, binary + " cannot be started: " + message, failed);
        }
    }

    boolean isAlive() {
        return process.isAlive();
    }

    int exitValue() {
        return process.exitValue();
    }

    /** Waits until it has ended and everything that it said is in the log; its exit code. */
    int awaitEnd() throws InterruptedException {
        int code = process.waitFor();
        awaitLog();
        return code;
    }

    /** Waits until it serves; false if it ended before. */
    boolean awaitReady(Duration within) throws InterruptedException {
        long deadline = System.nanoTime() + within.toNanos();
        String said = "";
        while (!process.waitFor(LOOK_AGAIN_MS, TimeUnit.MILLISECONDS)) {
            Answer ready = get("/readyz");
            if (ready != null && ready.status == 200 && isOurs()) {
                return true;
            }
            said = ready == null ? said : ready.body.trim();
            if (System.nanoTime() - deadline > 0) {
                throw new EmbeddedRegistryException(Reason.NOT_READY_IN_TIME, "the embedded registry in " + data.getParent()
                    + " was not ready within " + within.toMillis() + " ms" + (said.isEmpty() ? "" : " (" + said + ")")
                    + "; a large state takes longer: raise the start timeout. The end of its log:"
                    + System.lineSeparator() + log.end());
            }
        }
        awaitLog();
        return false;
    }

    /** Another server may have got the port; this one is then about to say so and to end. */
    private boolean isOurs() {
        Answer answer = get("/commands/configuration");
        if (answer == null) {
            return false;
        }
        String path = data.toString().replace("\\", "\\\\").replace("\"", "\\\"");
        return answer.status != 200 || answer.body.contains("\"" + path + "\"");
    }

    private static final class Answer {
        final int status;
        final String body;

        Answer(int status, String body) {
            this.status = status;
            this.body = body;
        }
    }

    private Answer get(String path) {
        HttpURLConnection connection = null;
        try {
            URL url = new URL("http", Ports.HOST, ports.admin, path);
            connection = (HttpURLConnection) url.openConnection(Proxy.NO_PROXY);
            connection.setConnectTimeout(ANSWER_MS_MAX);
            connection.setReadTimeout(ANSWER_MS_MAX);
            connection.setRequestProperty("Connection", "close");
            int status = connection.getResponseCode();
            InputStream body = status < 400 ? connection.getInputStream() : connection.getErrorStream();
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] buffer = new byte[4096];
            for (int read; body != null && bytes.size() < ANSWER_BYTES_MAX && (read = body.read(buffer)) > 0;) {
                bytes.write(buffer, 0, read);
            }
            return new Answer(status, new String(bytes.toByteArray(), StandardCharsets.UTF_8));
        } catch (IOException notYet) {
            return null;
        } finally {
            if (connection != null) {
                connection.disconnect();
            }
        }
    }

    String logEnd() {
        return log.end();
    }

    /** Asks it to stop, ends it if it does not, and waits until it is gone. Its thread is gone then, too. */
    void stop(Duration patience) {
        boolean interrupted = false;
        try {
            process.getOutputStream().close();
        } catch (IOException closed) {
            process.destroy();
        }
        for (int turn = 0; process.isAlive(); turn++) {
            try {
                if (!process.waitFor(turn == 0 ? patience.toMillis() : ANSWER_MS_MAX, TimeUnit.MILLISECONDS)) {
                    process.destroyForcibly();
                }
            } catch (InterruptedException asked) {
                interrupted = true;
                process.destroyForcibly();
            }
        }
        interrupted |= Thread.interrupted();
        try {
            awaitLog();
        } catch (InterruptedException asked) {
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void awaitLog() throws InterruptedException {
        reader.join(ANSWER_MS_MAX);
        if (reader.isAlive()) {
            // Something that it started has inherited the pipe.
            try {
                process.getInputStream().close();
            } catch (IOException closed) {
                return;
            }
        }
    }
}
