// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/preview_text.h"

#include <QCoreApplication>

QString previewText(const std::string& content)
{
    constexpr qsizetype limit = 200'000;  // characters
    auto text = QString::fromStdString(content);
    if (text.size() <= limit)
        return text;
    return text.left(limit)
        + QCoreApplication::translate("Preview", "\n… (%1 more characters)").arg(text.size() - limit);
}
