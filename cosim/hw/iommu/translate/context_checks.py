"""The rules that a valid device context keeps ("Device-context configuration checks", by number)."""

from __future__ import annotations

from cosim.hw.iommu.warl import Reset
from cosim.spec.pagetable import FIRST_STAGE, PAGE_LG2, SECOND_STAGE
from cosim.spec.registers import Capabilities, Fctl
from cosim.spec.translation import Dc, DcExtended, MsiptpMode, PdtpMode, mgpaw

ROOT_X4 = (1 << 14) - 1
"""What a second stage's root table is aligned to, less one."""


def misconfigured(dc: Dc, capabilities: Capabilities, fctl: Fctl, reset: Reset) -> str:
    """The rule that a valid device context breaks by its number; "" if none."""
    tc, iohgatp, fsc, ta = dc.tc, dc.iohgatp, dc.fsc, dc.ta
    second = SECOND_STAGE[fctl.gxl].get(iohgatp.mode)
    if dc.reserved():
        return "1: reserved bits are set"
    if not capabilities.qosid and (ta.rcid or ta.mcid):
        return "1: RCID and MCID are reserved where capabilities.QOSID is 0"
    if not capabilities.ats and (tc.en_ats or tc.en_pri or tc.prpr):
        return "2: EN_ATS, EN_PRI and PRPR need capabilities.ATS"
    if not tc.en_ats and tc.t2gpa:
        return "3: T2GPA needs EN_ATS"
    if not tc.en_ats and tc.en_pri:
        return "4: EN_PRI needs EN_ATS"
    if not tc.en_pri and tc.prpr:
        return "5: PRPR needs EN_PRI"
    if not capabilities.t2gpa and tc.t2gpa:
        return "6: T2GPA needs capabilities.T2GPA"
    if tc.t2gpa and not iohgatp.mode:
        return "7: T2GPA needs a second stage"
    if tc.pdtv:
        if fsc.mode not in PdtpMode.__members__.values() or not PdtpMode(fsc.mode).supported(capabilities):
            return f"8: pdtp.MODE {fsc.mode} is not supported"
    else:
        first = FIRST_STAGE[tc.sxl].get(fsc.mode)
        if first is None or not first.supported(capabilities):
            return f"9 to 11: iosatp.MODE {fsc.mode} is not supported with SXL={tc.sxl}"
        if tc.dpe:
            return "12: DPE needs PDTV"
    if second is None or not second.supported(capabilities):
        return f"13 to 15: iohgatp.MODE {iohgatp.mode} is not supported with GXL={fctl.gxl}"
    if isinstance(dc, DcExtended) and (rule := _msi_misconfigured(dc, capabilities)):
        return rule
    if second.levels and iohgatp.ppn << PAGE_LG2 & ROOT_X4:
        return "17: the root of the second stage is not aligned to 16 KiB"
    if not capabilities.amo_hwad and (tc.sade or tc.gade):
        return "18: SADE and GADE need capabilities.AMO_HWAD"
    if not capabilities.end and tc.sbe != fctl.be:
        return "19: SBE differs from fctl.BE, which needs capabilities.END"
    if tc.sxl != fctl.gxl and (fctl.gxl or not reset.gxl_writable):
        return f"20: SXL={tc.sxl} is not legal with fctl.GXL={fctl.gxl}"
    if tc.sbe != fctl.be and not reset.be_writable:
        return "21: SBE differs from fctl.BE, which is not writable"
    if (ta.rcid | ta.mcid << 16) & ~reset.qosid_mask:
        return "22: RCID or MCID is wider than this IOMMU's"
    return ""


def _msi_misconfigured(dc: DcExtended, capabilities: Capabilities) -> str:
    beyond = -1 << mgpaw(capabilities) - PAGE_LG2
    if dc.msi_addr_mask.mask & beyond or dc.msi_addr_pattern.pattern & beyond:
        return "1: bits of msi_addr_mask or msi_addr_pattern are set that no guest physical address has"
    if dc.msiptp.mode not in MsiptpMode.__members__.values():
        return f"16: msiptp.MODE {dc.msiptp.mode} is neither Off nor Flat"
    if dc.msiptp.mode and not dc.iohgatp.mode:
        return "msiptp.MODE must be Off where iohgatp.MODE is Bare"
    return ""
