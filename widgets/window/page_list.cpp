// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/page_list.h"

#include "widgets/pages/compare_page.h"
#include "widgets/pages/layer_page.h"
#include "widgets/pages/overview_page.h"
#include "widgets/pages/qat_page.h"
#include "widgets/pages/savings_page.h"
#include "widgets/pages/sensitivity_page.h"
#include "widgets/pages/trade_off_page.h"

#include <QCoreApplication>

#include <vector>

namespace {

template<class Page>
QWidget* create(Workbench* workbench)
{
    return new Page(workbench);
}

QString title(const char* text)
{
    return QCoreApplication::translate("PageList", text);
}

}  // namespace

std::span<const PageEntry> pageList()
{
    static const std::vector<PageEntry> pages {
        {QStringLiteral("overview"), QStringLiteral("overview"), [] { return title("Overview"); },
            create<OverviewPage>},
        {QStringLiteral("layer"), QStringLiteral("layer"), [] { return title("Layer"); }, create<LayerPage>},
        {QStringLiteral("sensitivity"), QStringLiteral("sensitivity"), [] { return title("Sensitivity"); },
            create<SensitivityPage>},
        {QStringLiteral("trade-off"), QStringLiteral("trade-off"), [] { return title("Trade-off"); },
            create<TradeOffPage>},
        {QStringLiteral("savings"), QStringLiteral("savings"), [] { return title("Savings"); }, create<SavingsPage>},
        {QStringLiteral("qat"), QStringLiteral("qat"), [] { return title("QAT"); }, create<QatPage>},
        {QStringLiteral("compare"), QStringLiteral("compare"), [] { return title("Compare"); }, create<ComparePage>},
    };
    return pages;
}
