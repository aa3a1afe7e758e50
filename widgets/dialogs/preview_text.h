// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

#include <string>

/// What a dialog shows of a file before it is written: its beginning, where a text widget would be slow with all of it.
QString previewText(const std::string& content);
