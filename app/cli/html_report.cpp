// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/html_report.h"

#include "widgets/report/html_report.h"

#include <QApplication>

#include <cstdio>

namespace quantloupe::cli {

bool htmlReportsAreBuilt()
{
    return true;
}

Result<std::string> renderHtmlReport(const ReportDocument& document, const StudySnapshot& study)
{
    // The offscreen platform whatever the session offers: a report must not depend on a display, nor flash a window.
    qputenv("QT_QPA_PLATFORM", "offscreen");
    // Nor must Qt's remarks on the session (no runtime folder, say) mix with the messages of this program.
    qInstallMessageHandler([](QtMsgType type, const QMessageLogContext&, const QString& text) {
        if (type == QtCriticalMsg || type == QtFatalMsg)
            std::fprintf(stderr, "quantloupe-cli: %s\n", qPrintable(text));
    });
    int count = 1;
    char name[] = "quantloupe-cli";
    char* arguments[] = {name, nullptr};
    const QApplication application(count, arguments);
    return renderHtml(document, study).toStdString();
}

}  // namespace quantloupe::cli
