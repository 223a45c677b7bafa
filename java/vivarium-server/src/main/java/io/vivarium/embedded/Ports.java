package io.vivarium.embedded;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;

/** The four doors of a server, on loopback. A port that nobody asked for is taken again at the next start, if it is free. */
final class Ports {
    static final String HOST = "127.0.0.1";
    private static final String FILE = "ports.properties";

    final int client;
    final int nativeApi;
    final int admin;
    final int peer;

    private Ports(int client, int nativeApi, int admin, int peer) {
        this.client = client;
        this.nativeApi = nativeApi;
        this.admin = admin;
        this.peer = peer;
    }

    /** Each as it is wanted, 0 for whichever is free. */
    static Ports choose(Ports wanted, Ports before) throws IOException {
        int[] asked = wanted.all();
        int[] known = before == null ? new int[asked.length] : before.all();
        List<ServerSocket> held = new ArrayList<>();
        try {
            for (int at = 0; at < asked.length; at++) {
                if (asked[at] == 0) {
                    ServerSocket socket = bind(known[at]);
                    held.add(socket == null ? bind(0) : socket);
                    asked[at] = held.get(held.size() - 1).getLocalPort();
                }
            }
        } finally {
            for (ServerSocket socket : held) {
                socket.close();
            }
        }
        return new Ports(asked[0], asked[1], asked[2], asked[3]);
    }

    static Ports of(int client, int nativeApi, int admin, int peer) {
        return new Ports(client, nativeApi, admin, peer);
    }

    private int[] all() {
        return new int[] {client, nativeApi, admin, peer};
    }

    /** Of those that were asked for, which nobody can listen on now. */
    List<Integer> taken() throws IOException {
        List<Integer> taken = new ArrayList<>();
        for (int port : all()) {
            if (port != 0) {
                ServerSocket socket = bind(port);
                if (socket == null) {
                    taken.add(port);
                } else {
                    socket.close();
                }
            }
        }
        return Collections.unmodifiableList(taken);
    }

    private static ServerSocket bind(int port) throws IOException {
        ServerSocket socket = new ServerSocket();
        try {
            socket.setReuseAddress(true);
            socket.bind(new InetSocketAddress(InetAddress.getByName(HOST), port));
            return socket;
        } catch (IOException taken) {
            socket.close();
            if (port == 0) {
                throw taken;
            }
            return null;
        }
    }

    /** Those of the last start; null if there was none, or nothing sensible is written there. */
    static Ports read(Path directory) {
        Path file = directory.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            return null;
        }
        Properties properties = new Properties();
        try (java.io.InputStream in = Files.newInputStream(file)) {
            properties.load(in);
            return new Ports(port(properties, "client"), port(properties, "native"), port(properties, "admin"), port(properties, "peer"));
        } catch (IOException | IllegalArgumentException damaged) {
            return null;
        }
    }

    private static int port(Properties properties, String name) {
        int port = Integer.parseInt(properties.getProperty(name, "0"));
        return port < 0 || port > 65_535 ? 0 : port;
    }

    void write(Path directory) throws IOException {
        Properties properties = new Properties();
        properties.setProperty("client", String.valueOf(client));
        properties.setProperty("native", String.valueOf(nativeApi));
        properties.setProperty("admin", String.valueOf(admin));
        properties.setProperty("peer", String.valueOf(peer));
        try (java.io.OutputStream out = Files.newOutputStream(directory.resolve(FILE))) {
            properties.store(out, "Where this registry was last served");
        }
    }
}
