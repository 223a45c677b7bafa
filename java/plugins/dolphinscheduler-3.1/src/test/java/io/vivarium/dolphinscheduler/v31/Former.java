package io.vivarium.dolphinscheduler.v31;

import io.vivarium.testkit.Waiting;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.curator.test.InstanceSpec;
import org.apache.curator.test.TestingServer;

/** A registry that a host comes from: the thing itself, and what the host's own plugin is told of it. */
interface Former extends AutoCloseable {
    String type();

    /** As in the host's {@code application.yaml}, below {@code registry}. */
    Map<String, String> properties();

    /** Whatever goes wrong with it is a fault of the test. */
    @Override
    void close() throws IOException;

    /** A server of Apache ZooKeeper, in this process. */
    final class ZooKeeper implements Former {
        final TestingServer server;

        ZooKeeper() throws Exception {
            server = new TestingServer(new InstanceSpec(null, -1, -1, -1, true, -1, 200, -1), true);
        }

        @Override
        public String type() {
            return "zookeeper";
        }

        @Override
        public Map<String, String> properties() {
            return Map.of("zookeeper.connect-string", server.getConnectString(), "zookeeper.session-timeout", "2s",
                "zookeeper.connection-timeout", "1s", "zookeeper.block-until-connected", "3s",
                "zookeeper.retry-policy.max-retries", "1");
        }

        @Override
        public void close() throws IOException {
            server.close();
        }
    }

    /** A MariaDB server, with the tables that the host's plugin brings. */
    final class MariaDb implements Former {
        private final Process server;
        private final String url;

        static boolean isInstalled() {
            return Arrays.stream(System.getenv("PATH").split(File.pathSeparator))
                .anyMatch(directory -> new File(directory, "mariadbd").canExecute());
        }

        MariaDb(Path directory) throws Exception {
            String data = "--datadir=" + directory.resolve("data");
            List<String> make = new ArrayList<>(List.of("mariadb-install-db", "--no-defaults", "--skip-test-db",
                "--auth-root-authentication-method=normal", data));
            List<String> serve = new ArrayList<>(List.of("mariadbd", "--no-defaults", "--bind-address=127.0.0.1", data));
            if (System.getProperty("user.name").equals("root")) {
                make.add("--user=root");
                serve.add("--user=root");
            }
            File log = directory.resolve("log").toFile();
            int made = new ProcessBuilder(make).redirectErrorStream(true).redirectOutput(log).start().waitFor();
            if (made != 0) {
                throw new IllegalStateException(Files.readString(log.toPath()));
            }
            int port;
            try (ServerSocket free = new ServerSocket(0)) {
                port = free.getLocalPort();
            }
            serve.addAll(List.of("--port=" + port, "--socket=" + directory.resolve("socket"), "--innodb-flush-log-at-trx-commit=0"));
            server = new ProcessBuilder(serve).redirectErrorStream(true).redirectOutput(log).start();
            url = "jdbc:mariadb://127.0.0.1:" + port + "/registry?allowMultiQueries=true&createDatabaseIfNotExist=true";
            Waiting.until("MariaDB serves", () -> {
                try {
                    makeTables();
                    return true;
                } catch (SQLException notYet) {
                    return false;
                } catch (IOException failed) {
                    throw new AssertionError(failed);
                }
            });
        }

        private void makeTables() throws SQLException, IOException {
            String script;
            try (InputStream in = getClass().getResourceAsStream("/mysql_registry_init.sql")) {
                script = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            }
            try (Connection connection = DriverManager.getConnection(url, "root", ""); Statement statement = connection.createStatement()) {
                statement.execute(script);
            }
        }

        @Override
        public String type() {
            return "mysql";
        }

        @Override
        public Map<String, String> properties() {
            Map<String, String> properties = new TreeMap<>();
            properties.put("hikari-config.jdbc-url", url);
            properties.put("hikari-config.username", "root");
            properties.put("hikari-config.password", "");
            properties.put("hikari-config.maximum-pool-size", "5");
            properties.put("term-refresh-interval", "300ms");
            properties.put("term-expire-times", "60");
            return properties;
        }

        @Override
        public void close() {
            server.destroy();
            try {
                if (!server.waitFor(30, TimeUnit.SECONDS)) {
                    server.destroyForcibly().waitFor();
                }
            } catch (InterruptedException asked) {
                server.destroyForcibly();
                Thread.currentThread().interrupt();
            }
        }
    }
}
