// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QCoreApplication>
#include <QString>

/// The words of HTML reports, in the language of the program.
namespace html_report_text {

inline QString tr(const char* text)
{
    return QCoreApplication::translate("HtmlReport", text);
}

}  // namespace html_report_text
