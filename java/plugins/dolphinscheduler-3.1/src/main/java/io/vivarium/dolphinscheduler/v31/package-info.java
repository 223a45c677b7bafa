/** The registry plugin of DolphinScheduler 3.1. */
package io.vivarium.dolphinscheduler.v31;
