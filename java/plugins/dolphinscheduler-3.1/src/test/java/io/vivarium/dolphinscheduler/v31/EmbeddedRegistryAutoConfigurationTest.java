package io.vivarium.dolphinscheduler.v31;

import io.vivarium.plugin.AutoConfigurationContract;

class EmbeddedRegistryAutoConfigurationTest extends AutoConfigurationContract {
    EmbeddedRegistryAutoConfigurationTest() {
        super(Tested.PLUGIN);
    }
}
