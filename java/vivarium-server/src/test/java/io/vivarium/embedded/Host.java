package io.vivarium.embedded;

import java.nio.file.Paths;

/** A program with an embedded registry, which tests kill. Says where its registry is, then waits. */
public final class Host {
    private Host() {
    }

    public static void main(String[] arguments) throws InterruptedException {
        EmbeddedRegistryServer server = EmbeddedRegistryServer.builder().dataDirectory(Paths.get(arguments[0])).start();
        System.out.println("registry " + server.getConnectString());
        Thread.sleep(Long.MAX_VALUE);
    }
}
