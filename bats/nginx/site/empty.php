<?php /* SPDX-License-Identifier: MIT */ http_response_code(204);
