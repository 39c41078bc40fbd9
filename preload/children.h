/* SPDX-License-Identifier: MIT */
/* What programs that PHP starts must not see. */
#pragma once

/*
 * In a worker, before it runs PHP code: takes our variables out of the environment (and only our
 * own entry out of LD_PRELOAD), and closes our descriptors to the programs it will execute. The
 * master keeps both: its next image needs them at a reload.
 */
void children_hide(void);
