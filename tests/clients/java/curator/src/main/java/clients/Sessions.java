package clients;

import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.ZooKeeper;

/** Ends a client's session behind its back, as a long silence would. */
public final class Sessions {
    private static final int LOOKS_BETWEEN_CLOSES = 100;

    /** Takes the session over on a second connection, and closes it there. */
    public static void end(CuratorProgram program, CuratorFramework owner) throws Exception {
        ZooKeeper theirs = owner.getZookeeperClient().getZooKeeper();
        long session = theirs.getSessionId();
        byte[] password = theirs.getSessionPasswd();
        Program.eventually("the owner has another session", () -> {
            // Again and again: the member that was asked to close it may have been killed.
            closeElsewhere(program, session, password);
            for (int look = 0; look < LOOKS_BETWEEN_CLOSES && !hasOther(owner, session); look++) {
                Thread.sleep(20);
            }
            return hasOther(owner, session);
        });
    }

    private static void closeElsewhere(Program program, long session, byte[] password) throws Exception {
        try (ZooKeeper same = new ZooKeeper(
                String.join(",", program.hosts), Program.SESSION_TIMEOUT_MS, event -> { }, session, password)) {
            Program.eventually("the session is taken over or has ended",
                    () -> !same.getState().isAlive() || same.getState().isConnected());
        }
    }

    private static boolean hasOther(CuratorFramework owner, long session) throws Exception {
        return owner.getZookeeperClient().isConnected()
                && owner.getZookeeperClient().getZooKeeper().getSessionId() != session;
    }
}
