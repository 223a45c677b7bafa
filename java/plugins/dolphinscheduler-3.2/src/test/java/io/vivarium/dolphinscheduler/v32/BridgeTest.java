package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.BridgeContract;
import org.apache.dolphinscheduler.plugin.registry.former.FormerRegistryAutoConfiguration;

class BridgeTest extends BridgeContract {
    BridgeTest() {
        super(Tested.PLUGIN, FormerRegistryAutoConfiguration.class);
    }
}
